/*
 * What is looked at while a job of several ranks starts: whether MPI can work here at all, whether
 * the ranks come together in time, whether they are the same program. Each would otherwise end in
 * a hang or in a message of MPI's own that names no remedy.
 */
#ifndef SW_TRANSPORT_START_H
#define SW_TRANSPORT_START_H

#include "base/status.h"

#include <mpi.h>
#include <signal.h>

/*
 * Before MPI_Init. SW_EDEVICE: ranks are on other hosts and this one has no network interface that
 * they could reach, or /dev/shm is too small for the ranks of this host. One rank of a host says
 * so.
 */
enum sw_status sw_start_check(void);

/*
 * What rank 0 tells the launch scripts: that it has started, that the ranks have met (a start that
 * fails before may be tried again), and that it has ended well (mpirun's own exit code is 0 also
 * when it has lost a host). SPILLWAY_SUPERVISED says how: "1", launch/spillway-mpirun, as lines on
 * standard error that it takes out; a folder, launch/slurm.sbatch, as empty files in it.
 */
enum sw_start_fact { SW_FACT_STARTED, SW_FACT_MET, SW_FACT_ENDED_WELL };
void sw_start_report(int rank, enum sw_start_fact fact);

/*
 * From before MPI_Init until the ranks have heard of each other. When that takes longer than
 * `seconds`, every rank says which networks its host has, rank 0 what is wrong, and the process
 * ends with exit code 5; when *stop (may be NULL) is set and they do not meet within SW_STOP_S, it
 * ends with 75. Nothing else could end it: MPI waits for ever inside MPI_Init and the first
 * message.
 */
struct sw_start_watchdog;
struct sw_start_watchdog *sw_start_watchdog_begin(double seconds,
                                                  const volatile sig_atomic_t *stop);
void sw_start_watchdog_end(struct sw_start_watchdog *watch);

/*
 * The first message of all, in a form that never changes. SW_EDEVICE on every rank when not all are
 * the same program on the same MPI library; the error slot names hosts and versions on rank 0.
 */
enum sw_status sw_start_same(MPI_Comm comm);

/* What sw_start_same finds in the ranks' texts: "HOST\nVERSION\nSOURCE\nMPI LIBRARY", (size). */
#define SW_HELLO_BYTES 256
enum sw_status sw_hello_judge(const char (*hellos)[SW_HELLO_BYTES], int size);

#endif
