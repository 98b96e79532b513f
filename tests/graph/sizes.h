/* sizes.h: checks of what a plan's size says, on any device. Each device has a program that runs them
 * (tests/unit/test_sizes.c, tests/emulated/test_sizes.c). */
#ifndef SB_TESTS_GRAPH_SIZES_H
#define SB_TESTS_GRAPH_SIZES_H

#include "kernels/device.h"

/* Runs them all as a group of cmocka's. calls: how often the device's libraries were called so far; NULL: not
 * known. Returns how many failed. */
int sb_size_checks(sb_device *device, long (*calls)(void));

#endif
