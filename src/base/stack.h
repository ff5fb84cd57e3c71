/* Room for the stacks of the program's threads, whatever the limit it was started with. */
#ifndef SW_BASE_STACK_H
#define SW_BASE_STACK_H

#include "base/status.h"

/*
 * To be called first of all, by the main thread: raises its limit (ulimit -s) as far as is allowed
 * and useful, and gives threads started from now on as much. SW_EDEVICE: less than what reading
 * nested files and templates may take is allowed.
 */
enum sw_status sw_stack_prepare(void);

#endif
