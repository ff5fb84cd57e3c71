/*
 * A deadline for reads of the thread that uses a reader, which cannot watch them itself: a disk or
 * a server that never answers keeps it in a system call. A thread of its own looks, twice a second,
 * whether bytes come while a read is under way.
 */
#ifndef SW_CHECKPOINT_READ_WATCH_H
#define SW_CHECKPOINT_READ_WATCH_H

#include "checkpoint/reader.h"

struct sw_read_watch;

/* Called once, by the watching thread, when no byte has come for too long: the reader is given up,
 * as by sw_reader_wait, and the error slot of this thread names the file and the offset. */
typedef void sw_read_watch_fn(void *context, enum sw_status status);

/* Watches until it is stopped; seconds 0: never calls. SW_ENOMEM, SW_EDEVICE. */
enum sw_status sw_read_watch_start(struct sw_reader *reader, double seconds, sw_read_watch_fn *lost,
                                   void *context, struct sw_read_watch **out);
/* Ends the thread and frees; NULL is fine. Not to be called while `lost` runs. */
void sw_read_watch_stop(struct sw_read_watch *watch);

#endif
