/* Owns recognising an mpirun host file that was given where a cluster is expected. */
#include "plan/cluster.h"

#include <ctype.h>
#include <string.h>

#define LINE_MAX_BYTES 200

/* Whether the line is as "node1", "node1:4", "node[01-04]" or "node1 slots=4 max_slots=8". */
static bool is_host_line(const char *line, size_t length, bool *slots)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_",
                      blank[] = " \t\r";
    static const char *const keys[] = {"slots", "max_slots", "max-slots"};
    char copy[LINE_MAX_BYTES], *rest = copy;
    if (length >= sizeof copy)
        return false;
    memcpy(copy, line, length);
    copy[length] = 0;
    rest += strspn(rest, host);
    if (*rest == '[') { /* as Slurm writes them */
        rest += strspn(rest, "[0123456789-,]");
        *slots = true;
    }
    if (*rest == ':' && isdigit((unsigned char)rest[1])) { /* as MPICH takes them */
        rest += 1 + strspn(rest + 1, "0123456789");
        *slots = true;
    }
    if (*rest && !strchr(blank, *rest))
        return false;
    for (rest += strspn(rest, blank); *rest; rest += strspn(rest, blank)) {
        const size_t n = strcspn(rest, " \t\r=");
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            known = known || (n == strlen(keys[i]) && strncmp(rest, keys[i], n) == 0);
        *slots = true;
        rest += n;
        rest += strspn(rest, blank);
        if (!known || *rest != '=')
            return false;
        rest++;
        rest += strspn(rest, blank);
        if (!isdigit((unsigned char)*rest))
            return false;
        rest += strspn(rest, "0123456789");
    }
    return true;
}

/* The number of lines with hosts; 0: the text is not a host file. */
static int host_lines(const char *text, size_t length)
{
    int n = 0;
    bool slots = false; /* a line has slots; without any, a single word might be anything */
    for (size_t at = 0, end; at < length; at = end + 1) {
        for (end = at; end < length && text[end] != '\n';)
            end++;
        while (at < end && isspace((unsigned char)text[at]))
            at++;
        size_t stop = at;
        while (stop < end && text[stop] != '#')
            stop++;
        if (stop == at)
            continue;
        if (!is_host_line(text + at, stop - at, &slots))
            return 0;
        n++;
    }
    return slots || n > 1 ? n : 0;
}

enum sw_status sw_cluster_refuse_hostfile(const char *text, size_t length)
{
    const int hosts = host_lines(text, length);
    if (hosts == 0)
        return SW_OK;
    return sw_fail(SW_EINPUT,
                   "cluster: this is a host file: %d line%s of hosts, without their hardware; add "
                   "a line such as \"#: %dx(gpu:2x24G host:64G)\" to it, which mpirun ignores, "
                   "or give the output of 'mpirun --hostfile FILE spillway probe --json'",
                   hosts, hosts == 1 ? "" : "s", hosts);
}
