/*
 * What a whole job ends with, and the file that tells it to whoever started the job.
 *
 * SPILLWAY_STATUS names a folder that the launcher made; every rank that sees it there may write
 * the file `status` in it, and the first one wins. Lines of text, in this order:
 *
 *   exit 75                   the exit code of the job
 *   status SW_EPEER
 *   rank 2                    who failed or was lost; -1: nobody
 *   message rank 2 on h3 …    to the end of the file
 */
#ifndef SW_TRANSPORT_VERDICT_H
#define SW_TRANSPORT_VERDICT_H

#include "base/status.h"

#include <stdbool.h>

#define SW_VERDICT_MAX (SW_ERROR_MAX + 128)

struct sw_verdict {
    enum sw_status status;
    int rank;  /* who failed or is lost */
    bool lost; /* … and takes no part in the end */
    char text[SW_VERDICT_MAX];
};

/* The folder, when there is one that can be written to; else NULL. */
const char *sw_verdict_folder(void);
/* Whole and on disk, or not at all. false: it could not be written; true: it is there now. */
bool sw_verdict_write(const char *folder, int writer, const struct sw_verdict *verdict);

#endif
