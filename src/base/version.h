/* Which program this is: two processes of one job must have both the same. */
#ifndef SW_BASE_VERSION_H
#define SW_BASE_VERSION_H

/* "0.1.0" */
const char *sw_version(void);
/* Twelve digits of a hash over all sources, whoever compiled them and where. */
const char *sw_source_id(void);
/* What was built besides the CPU's part: "mpi cuda". */
const char *sw_built_in(void);

#endif
