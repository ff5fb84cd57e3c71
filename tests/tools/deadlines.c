/* Prints what src/transport/deadlines.h has for whole seconds T, for
 * tests/launch/test_deadlines.sh: "idle interval probes hang" of the launchers. */
#include "transport/deadlines.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    const int t = argc > 1 ? atoi(argv[1]) : (int)SW_TIMEOUT_S;
    printf("%d %d %d %d\n", SW_IDLE_S, SW_PROBE_S(t), SW_PROBES(t), SW_HANG_S);
    return 0;
}
