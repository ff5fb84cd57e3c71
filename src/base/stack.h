/* Makes the stacks of the program's threads large enough, whatever limit it was started with. */
#ifndef SW_BASE_STACK_H
#define SW_BASE_STACK_H

#include "base/status.h"

/*
 * To be called first, by the main thread. Raises its limit (ulimit -s) as far as is allowed and
 * useful, and sets the same for threads that start later. SW_EDEVICE: the allowed stack is smaller
 * than what reading nested files and templates may need.
 */
enum sw_status sw_stack_prepare(void);

#endif
