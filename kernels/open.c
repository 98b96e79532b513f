/* open.c: see open.h. The CUDA device is a plug-in, so that one build runs with and without CUDA. The plug-in
 * is never unloaded, because the libraries below it do not survive that. */
#include "kernels/open.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/plugin.h"
#include "proto/error.h"

#define PLUGIN "sb_cuda.so"

/* The configured file, or the one beside the program. */
static int plugin_path(const char *configured, char path[PATH_MAX])
{
    if (configured[0] != '\0')
        return snprintf(path, PATH_MAX, "%s", configured) < PATH_MAX ? 0 : sb_fail("cuda.plugin is too long");
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length < 0)
        return sb_fail_errno("finding the program's folder");
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + sizeof PLUGIN > PATH_MAX)
        return sb_fail("the program's path %s is too long", path);
    memcpy(slash + 1, PLUGIN, sizeof PLUGIN);
    return 0;
}

/* What of a plug-in is not as the program knows it; NULL: nothing. */
static const char *differs(void *plugin)
{
    const sb_plugin_form *(*form)(void) = NULL, *own = &sb_plugin_built_with;
    void *symbol = dlsym(plugin, "sb_device_form");
    memcpy(&form, &symbol, sizeof form);
    if (!form)
        return "it does not say what it was built with";
    const sb_plugin_form *its = form();
    return its->device != own->device                      ? "it has another sb_device"
           : its->call != own->call                        ? "it has another sb_call"
           : its->kernel != own->kernel                    ? "it has another sb_kernel"
           : strcmp(its->operations, own->operations) != 0 ? "it has other operations"
                                                           : NULL;
}

static int open_cuda(sb_device **out, const char *configured)
{
    char path[PATH_MAX];
    if (plugin_path(configured, path) != 0)
        return -1;
    if (access(path, R_OK) != 0)
        return sb_fail("there is no %s: `make cuda` builds it", path);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin) /* names the library that is missing, of the CUDA runtime, cuDNN or cuBLAS */
        return sb_fail("%s", dlerror());
    const char *other = differs(plugin);
    if (other)
        return sb_fail("%s is not of this version: `make cuda` builds it anew (%s)", path, other);
    int (*open)(sb_device **) = NULL;
    void *symbol = dlsym(plugin, "sb_device_cuda");
    memcpy(&open, &symbol, sizeof open);
    return open ? open(out) : sb_fail("%s has no sb_device_cuda", path);
}

void sb_device_introduce(const sb_device *device)
{
    sb_note("device: %s, %s", device->description, device->reason);
}

void sb_device_planned(const sb_device *device)
{
    if (device->planning[0] != '\0')
        sb_note("%s", device->planning);
}

void sb_device_pin(sb_device *device, void *host, size_t bytes)
{
    if (device->pin(device, host, bytes) != 0)
        sb_note("copies will be slower: %s", sb_error());
}

int sb_device_open(sb_device **out, sb_device_choice choice, const char *plugin, int threads)
{
    char reason[sizeof(*out)->reason] = "as device = cpu says";
    int rc = -1;
    if (choice != SB_DEVICE_CPU) {
        rc = open_cuda(out, plugin);
        if (rc == SB_DEVICE_FULL || (rc != 0 && choice == SB_DEVICE_CUDA)) {
            sb_context("device = %s", choice == SB_DEVICE_CUDA ? "cuda" : "auto");
            return rc;
        }
        if (rc == 0)
            snprintf(reason, sizeof reason, "%s",
                     choice == SB_DEVICE_CUDA ? "as device = cuda says" : "found by device = auto");
        else
            snprintf(reason, sizeof reason, "no GPU: %s", sb_error());
    }
    if (rc != 0 && sb_device_cpu(out, threads) != 0)
        return -1;
    memcpy((*out)->reason, reason, sizeof reason);
    return 0;
}
