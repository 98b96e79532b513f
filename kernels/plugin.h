/* plugin.h: what a program and the plug-in that it loads (open.c) have to agree on. Either may have been
 * built since the other was; what both were built with stands here. */
#ifndef SB_KERNELS_PLUGIN_H
#define SB_KERNELS_PLUGIN_H

#include "kernels/op.h"

typedef struct {
    size_t device, call, kernel; /* bytes of sb_device, sb_call and sb_kernel */
    const char *operations;      /* in the order of ops.def */
} sb_plugin_form;

#define SB_OP(NAME, name) #name " "
static const sb_plugin_form sb_plugin_built_with = {
    .device = sizeof(sb_device), .call = sizeof(sb_call), .kernel = sizeof(sb_kernel), .operations =
#include "kernels/ops.def"
};
#undef SB_OP

/* A plug-in's own, which it shows under this name. */
const sb_plugin_form *sb_device_form(void);

#endif
