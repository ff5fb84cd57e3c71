/* The program's version: all processes of a job must have the same version and source id. */
#ifndef SW_BASE_VERSION_H
#define SW_BASE_VERSION_H

/* "0.1.0" */
const char *sw_version(void);
/* Twelve digits of a hash over all sources; the same wherever they were compiled. */
const char *sw_source_id(void);
/* The optional parts that were built: "mpi cuda". */
const char *sw_built_in(void);

#endif
