/* checks.h: checks of what a graph and its plans must do on any device. Each device has a program that runs
 * them (tests/unit/test_graph.c, tests/emulated/test_graph.c). */
#ifndef SB_TESTS_GRAPH_CHECKS_H
#define SB_TESTS_GRAPH_CHECKS_H

#include "kernels/device.h"

/* Runs them all as a group of cmocka's. other: a second device whose results must agree within rounding;
 * NULL: none. Returns how many failed. */
int sb_graph_checks(sb_device *device, sb_device *other);

#endif
