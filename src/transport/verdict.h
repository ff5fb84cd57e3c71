/*
 * The verdict: how a whole job ends, and the status file that reports it to the launcher.
 *
 * SPILLWAY_STATUS names a folder, which several jobs may share; every rank that sees it may write
 * the file status.JOB there, and the first one wins. JOB is SPILLWAY_JOB, a name that the launcher
 * has made, else a random name that rank 0 has made and sent to all. The file has lines of text:
 *
 *   job 0f3a…                 the name of the job
 *   exit 75                   the exit code of the job
 *   status SW_EPEER
 *   rank 2                    the rank that failed or was lost; -1: none
 *   message rank 2 on h3 …    one or more lines
 *   end 0f3a…                 the name again; without this line the file is incomplete
 */
#ifndef SW_TRANSPORT_VERDICT_H
#define SW_TRANSPORT_VERDICT_H

#include "base/status.h"

#include <stdbool.h>

#define SW_VERDICT_MAX (SW_ERROR_MAX + 128)
#define SW_JOB_NAME_MAX 40 /* letters, digits and dots, with the NUL */

struct sw_verdict {
    enum sw_status status;
    int rank;  /* the rank that failed or is lost; -1: none */
    bool lost; /* the rank is lost, and takes no part in the end of the job */
    char text[SW_VERDICT_MAX];
};

/* The folder of the status file; NULL when there is none that can be written to. */
const char *sw_verdict_folder(void);
/*
 * SPILLWAY_JOB: a launcher reads the status file and prints its message. "" when it is not set, or
 * cannot be part of a file name.
 */
const char *sw_verdict_job(void);
/* A random name for a job that no launcher has named. */
void sw_verdict_name(char out[SW_JOB_NAME_MAX]);
/*
 * Writes the status file, whole and on disk, unless there is one already. `writer`: this rank, part
 * of the name of the temporary file. false: it could not be written. Opens and follows nothing else
 * in the folder.
 */
bool sw_verdict_write(const char *folder, const char *job, int writer,
                      const struct sw_verdict *verdict);

#endif
