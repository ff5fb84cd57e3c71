/*
 * Every deadline of a job of several ranks, in seconds. T is --timeout; what has a (T) follows from
 * it, the others are what an end takes once something has failed. Nothing else waits by a number of
 * its own. In order, after a host was cut off at 0:
 *
 *   - T: its peers judge it lost, and write the status file.
 *   - T + SW_MPIRUN_S: mpirun's keep-alive notices it, and ends the ranks that still wait for that.
 *   - T + SW_LEAVE_S: they leave by themselves.
 *   - T + SW_HANG_S: launch/spillway-mpirun ends a mpirun that has not ended (a frozen host).
 *
 * launch/spillway-mpirun reckons its part in shell from the --timeout of the command line, as
 * launch/slurm.sbatch does; tests/launch/test_deadlines.sh compares.
 */
#ifndef SW_TRANSPORT_DEADLINES_H
#define SW_TRANSPORT_DEADLINES_H

#define SW_TIMEOUT_S 15.0 /* T unless --timeout says otherwise */
#define SW_STALL_S 600.0  /* one layer of one micro-batch, one read, one message of 64 MiB */

/* Signs of life. */
#define SW_BEAT_S(T) ((T) / 10 < 1.0 ? (T) / 10 : 1.0)
#define SW_REPEAT_S 3.0         /* beats that were lost are sent again so often */
#define SW_START_S(T) (4 * (T)) /* ranks, or their GPUs, that have not met by then never meet */

/* Once something has failed, or a stop was asked for. */
#define SW_TURN_S 0.3      /* the lowest rank prints the message; the next waits so long for it */
#define SW_STOP_S 2.0      /* the main thread has so long to notice a stop itself … */
#define SW_MAIN_S 3.0      /* … and, with a verdict, to come to its end */
#define SW_DISORDER_S 10.0 /* how long ranks have to end */
#define SW_LEAVE_S 10.0    /* after a loss, so long is left to mpirun to notice it */
#define SW_FINISH_S 30.0   /* the end itself, MPI_Finalize included */

/*
 * The launchers'. mpirun's own keep-alive must not be faster than the ranks, who know what to say:
 * its probes, one every SW_PROBE_S, have to fail for at least T + SW_MPIRUN_S. The first comes
 * after SW_IDLE_S. All are whole seconds; T is rounded up.
 */
#define SW_MPIRUN_S 5
#define SW_IDLE_S 2
#define SW_PROBE_S(T) (((T) + SW_MPIRUN_S) / 100 + 1)
#define SW_PROBES(T) (((T) + SW_MPIRUN_S + SW_PROBE_S(T) - 1) / SW_PROBE_S(T))
#define SW_HANG_S 14 /* above SW_LEAVE_S, counted from the status file */

#endif
