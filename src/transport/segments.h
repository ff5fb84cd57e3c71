/*
 * A folder in /dev/shm for the shared memory segments of a job's ranks on one host. Each rank holds
 * a lock in the folder, which the kernel releases however the rank ends; so the segments of a
 * killed job differ from those in use, and can be removed.
 *
 * None of this can fail a job: without such a folder Open MPI uses its default place.
 */
#ifndef SW_TRANSPORT_SEGMENTS_H
#define SW_TRANSPORT_SEGMENTS_H

/*
 * Call before MPI_Init. Removes the segments that dead jobs of this user have left on this host,
 * makes or joins this job's folder (spillway-UID-JOB), and makes Open MPI put its segments there.
 */
void sw_segments_open(void);
/* Releases the lock; the last rank of the host removes the folder. After a crash the next job does.
 */
void sw_segments_close(void);

/* Removes what dead jobs have left in `place`, but not the folder `except`. Public for tests. */
void sw_segments_sweep(const char *place, const char *except);

#endif
