/*
 * Checks while a job of several ranks starts: that MPI can work on this host, that the ranks
 * connect in time, and that they run the same program. Without them a job would hang, or end with a
 * message of MPI that names no remedy.
 */
#ifndef SW_TRANSPORT_START_H
#define SW_TRANSPORT_START_H

#include "base/status.h"

#include <mpi.h>
#include <signal.h>

/*
 * Call before MPI_Init. SW_EDEVICE when ranks are on other hosts and this host has no network
 * interface that they could reach, or when /dev/shm is too small for the ranks of this host. The
 * error slot has a message on one rank of each host.
 */
enum sw_status sw_start_check(void);

/*
 * What rank 0 reports to the launch scripts: that it has started; that the ranks have met (a start
 * that fails before may be tried again); that it has ended well (mpirun's exit code is 0 even when
 * it has lost a host). The variable SPILLWAY_SUPERVISED selects how: "1" (launch/spillway-mpirun)
 * writes lines to standard error, which the script removes; the path of a folder
 * (launch/slurm.sbatch) creates empty files there. Without it, and on other ranks, nothing happens.
 */
enum sw_start_fact { SW_FACT_STARTED, SW_FACT_MET, SW_FACT_ENDED_WELL };
void sw_start_report(int rank, enum sw_start_fact fact);

/*
 * Limits the start, from before MPI_Init until the ranks have met. When that takes longer than
 * `seconds`, rank 0 reports the cause, other ranks print the networks of their hosts, and the
 * process ends with exit code 5; when *stop (may be NULL) is set and the ranks do not meet within
 * SW_STOP_S, it ends with 75. Nothing else could end the process: MPI waits for ever inside
 * MPI_Init and in the first message. Returns NULL (no limit) without memory or a thread; the caller
 * ends it with sw_start_watchdog_end, which accepts NULL.
 */
struct sw_start_watchdog;
struct sw_start_watchdog *sw_start_watchdog_begin(double seconds,
                                                  const volatile sig_atomic_t *stop);
void sw_start_watchdog_end(struct sw_start_watchdog *watchdog);

/*
 * Exchanges the first message of a job, whose form is the same in all versions. SW_EDEVICE on every
 * rank when not all run the same program with the same MPI library; on rank 0 the error slot names
 * hosts and versions.
 */
enum sw_status sw_start_same(MPI_Comm comm);

/* Judges the texts of all ranks (size), each "HOST\nVERSION\nSOURCE\nMPI LIBRARY". SW_EDEVICE when
 * they differ. */
#define SW_HELLO_BYTES 256
enum sw_status sw_hello_judge(const char (*hellos)[SW_HELLO_BYTES], int size);

#endif
