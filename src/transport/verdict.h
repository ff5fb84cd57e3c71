/*
 * What a whole job ends with, and the file that tells it to whoever started the job.
 *
 * SPILLWAY_STATUS names a folder, which several jobs may share; every rank that sees it may write
 * the file status.JOB there, and the first one wins. JOB is the job's own name: SPILLWAY_JOB, which
 * the launcher made up, else one that rank 0 has made up and told the others. Lines of text:
 *
 *   job 0f3a…                 whose it is
 *   exit 75                   the exit code of the job
 *   status SW_EPEER
 *   rank 2                    who failed or was lost; -1: nobody
 *   message rank 2 on h3 …    one or more lines
 *   end 0f3a…                 without this one the file is not whole
 */
#ifndef SW_TRANSPORT_VERDICT_H
#define SW_TRANSPORT_VERDICT_H

#include "base/status.h"

#include <stdbool.h>

#define SW_VERDICT_MAX (SW_ERROR_MAX + 128)
#define SW_JOB_NAME_MAX 40 /* letters, digits and dots, with the NUL */

struct sw_verdict {
    enum sw_status status;
    int rank;  /* who failed or is lost */
    bool lost; /* … and takes no part in the end */
    char text[SW_VERDICT_MAX];
};

/* The folder, when there is one that can be written to; else NULL. */
const char *sw_verdict_folder(void);
/* SPILLWAY_JOB, which says that a launcher reads the file and prints its message; "" when there is
 * none, or none that could be part of a file's name. */
const char *sw_verdict_job(void);
/* Random, for a job that no launcher has named. */
void sw_verdict_name(char out[SW_JOB_NAME_MAX]);
/*
 * Whole and on disk, or not at all. false: it could not be written; true: it is there now. What
 * else lies in the folder is neither opened nor followed.
 */
bool sw_verdict_write(const char *folder, const char *job, int writer,
                      const struct sw_verdict *verdict);

#endif
