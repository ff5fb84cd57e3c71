/*
 * Every deadline of a job of several ranks, in seconds. T is --timeout; macros with a parameter (T)
 * follow from it, the others bound how long a job takes to end after a failure. No other part of
 * the program has a deadline of its own. When a host is cut off at time 0, this happens in order:
 *
 *   - T: its peers judge it lost, and write the status file.
 *   - T + SW_MPIRUN_S: mpirun's keep-alive notices the loss, and ends the ranks that still run.
 *   - T + SW_LEAVE_S: ranks that still run exit by themselves.
 *   - T + SW_HANG_S: launch/spillway-mpirun ends a mpirun that has not ended (a frozen host).
 *
 * launch/spillway-mpirun and launch/slurm.sbatch compute their deadlines in shell from the
 * --timeout of the command line; tests/launch/test_deadlines.sh compares them with these.
 */
#ifndef SW_TRANSPORT_DEADLINES_H
#define SW_TRANSPORT_DEADLINES_H

#define SW_TIMEOUT_S 15.0 /* T without --timeout */
#define SW_STALL_S 600.0  /* most for a layer of a micro-batch, a read, or 64 MiB sent */

/* Heartbeats. */
#define SW_BEAT_S(T) ((T) / 10 < 1.0 ? (T) / 10 : 1.0)
#define SW_REPEAT_S 3.0         /* longest interval at which TCP repeats a lost beat */
#define SW_START_S(T) (4 * (T)) /* a start fails when ranks or GPUs have not connected by then */

/* After a failure, or after a stop signal. */
#define SW_TURN_S 0.3      /* wait for each lower rank to print the message first */
#define SW_STOP_S 2.0      /* until the main thread must have noticed a stop signal */
#define SW_MAIN_S 3.0      /* from a verdict until the main thread must have ended its work */
#define SW_DISORDER_S 10.0 /* from a verdict until all ranks must have ended their work */
#define SW_LEAVE_S 10.0    /* from the loss of a rank until the others exit without mpirun */
#define SW_FINISH_S 30.0   /* most that the end itself takes, MPI_Finalize included */

/*
 * Of the launchers, in whole seconds; T is rounded up. mpirun's keep-alive must not be faster than
 * the ranks, whose message names the cause: its probes, the first after SW_IDLE_S and then one
 * every SW_PROBE_S, must fail for at least T + SW_MPIRUN_S before it acts.
 */
#define SW_MPIRUN_S 5
#define SW_IDLE_S 2
#define SW_PROBE_S(T) (((T) + SW_MPIRUN_S) / 100 + 1)
#define SW_PROBES(T) (((T) + SW_MPIRUN_S + SW_PROBE_S(T) - 1) / SW_PROBE_S(T))
#define SW_HANG_S 14 /* counted from the status file; longer than SW_LEAVE_S */

#endif
