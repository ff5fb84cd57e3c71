/* Takes the place of the program's own version: a build that was left behind on some host. */
#include "base/version.h"

const char *sw_version(void)
{
    return "0.0.9";
}

const char *sw_source_id(void)
{
    return "0123456789ab";
}

const char *sw_built_in(void)
{
    return "mpi";
}
