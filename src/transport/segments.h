/*
 * A folder for what the ranks of one job share in /dev/shm on one host, so that what is left of a
 * killed job can be told from what a living one uses: each rank holds a lock in the folder for as
 * long as it lives, which the kernel takes back whatever ends it.
 *
 * None of this can fail a job: without such a folder Open MPI puts its segments where it always
 * does.
 */
#ifndef SW_TRANSPORT_SEGMENTS_H
#define SW_TRANSPORT_SEGMENTS_H

/*
 * Before MPI_Init: removes what dead jobs of this user have left on this host, makes this job's
 * folder (spillway-UID-JOB) or joins it, and has Open MPI put its segments there.
 */
void sw_segments_open(void);
/* The host's last rank to do so removes the folder. Without it (a crash) the next job does. */
void sw_segments_close(void);

/* For tests: the same in another place than /dev/shm. */
void sw_segments_sweep(const char *place, const char *except);

#endif
