/* budget.h: checks of what a step's size says, on any device. Each device has a program that runs them
 * (tests/unit/test_budget.c, tests/emulated/test_governor.c). */
#ifndef SB_TESTS_GRAPH_BUDGET_H
#define SB_TESTS_GRAPH_BUDGET_H

#include "kernels/device.h"

/* What is taken for a step of a recipe is what was said, to the byte: of all recipes, with small batches and
 * views. used: the bytes of the device that are taken now. */
void budget_is_taken(sb_device *device, size_t (*used)(void));

/* With a chunk of its own the memory hardly grows with the batch, whatever the method. */
void budget_is_flat(sb_device *device);

/* Of a method that compares all pairs, and has none of them in memory, twice the batch takes no more than
 * twice as much. */
void budget_is_linear(sb_device *device);

#endif
