/* sizes.h: checks of what a plan's size promises, on any device. The programs that run checks.h run these,
 * too. */
#ifndef SB_TESTS_GRAPH_SIZES_H
#define SB_TESTS_GRAPH_SIZES_H

#include "kernels/device.h"

/* Runs them all as a group of cmocka's. calls: how often the device's libraries were called so far; NULL: not
 * known. Returns how many failed. */
int sb_size_checks(sb_device *device, long (*calls)(void));

#endif
