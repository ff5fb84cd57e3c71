/* Owns the program's life: finds the verb, runs it, exits. The only place that ends the process. */
#include "backend/gpu_library.h"
#include "base/log.h"
#include "base/stack.h"
#include "base/version.h"
#include "cmd/options.h"
#include "cmd/output.h"
#include "cmd/shell_completion.h"
#include "transport/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void usage(FILE *out)
{
    const struct sw_verb *verb;
    fprintf(out, "Spillway runs one large language model across every GPU and all the memory of "
                 "your machines.\n\nUsage: spillway VERB [ARGUMENTS] [OPTIONS]\n"
                 "       mpirun [--hostfile FILE] spillway VERB …      one rank per GPU or node\n\n"
                 "Verbs:\n");
    for (int i = 0; (verb = sw_verb_row(i)); i++)
        fprintf(out, "  %-9s%s\n", verb->name, verb->summary);
    fprintf(out,
            "\n'spillway VERB --help' describes a verb. '--version' prints what is built in.\n"
            "'--completion bash|zsh|fish' prints a script for that shell's completion.\n"
            "Exit codes: 0 done; 2 usage; 3 the model or the input is bad; 4 it does not fit;\n"
            "5 a device or library failed; 75 interrupted or a peer was lost: run it again.\n");
}

/* Prints what was built in, and what the GPU library next to the program supports. */
static void main_version(void)
{
    const char *why;
    const struct sw_gpu_library *library = sw_gpu_library_load(&why, NULL);
    const struct sw_gpu_link_ops *links = library ? library->links() : NULL;
    const int nccl = links ? links->version() : 0;
    printf("spillway %s (%s)\nsource %s\n", sw_version(), sw_built_in(), sw_source_id());
    if (!library)
        printf("GPU library: none (%s)\n", why);
    else if (nccl)
        printf("GPU library: %s, NCCL %d.%d.%d\n", library->what, nccl / 10000, nccl / 100 % 100,
               nccl % 100);
    else
        printf("GPU library: %s, without NCCL\n", library->what);
}

static enum sw_status unknown_verb(const char *name)
{
    return sw_fail(SW_EUSAGE, "there is no verb '%s'; 'spillway --help' lists them", name);
}

/*
 * hwloc, Open MPI's as well, would load plugins that look for displays and OpenCL devices: that is
 * a quarter of a short run's start, and one asks the X server. Before there are threads.
 */
static void main_keep_hwloc_short(void)
{
    setenv("HWLOC_PLUGINS_BLACKLIST", "hwloc_gl.so,hwloc_opencl.so", 0);
}

static enum sw_status main_run(int argc, char **argv, struct sw_call *call)
{
    const struct sw_verb *verb = sw_verb_find(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    SW_TRY(sw_options_parse(verb, argc - 2, argv + 2, call));
    const bool idle = sw_transport_launch_rank() > 0 && (verb->alone || call->options.help);
    if (call->options.help && !idle)
        sw_options_help(verb);
    if (call->options.help || idle)
        return SW_OK;
    sw_log_setup(call->options.quiet     ? SW_LOG_ERROR
                 : call->options.verbose ? SW_LOG_DEBUG
                                         : SW_LOG_INFO);
    main_keep_hwloc_short();
    sw_call_find_models(verb, call, sw_transport_launch_rank() > 0);
    return verb->run(call);
}

int main(int argc, char **argv)
{
    enum sw_status status = SW_OK;
    if (argc < 2) {
        usage(stderr);
        return sw_status_exit_code(SW_EUSAGE);
    }
    const bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0;
    const struct sw_verb *verb = help && argc > 2 ? sw_verb_find(argv[2]) : NULL;
    if (help && argc > 2 && !verb) {
        status = unknown_verb(argv[2]);
    } else if (verb) {
        sw_options_help(verb);
    } else if (help) {
        usage(stdout);
    } else if (strcmp(argv[1], "--version") == 0) {
        main_version();
    } else if (strcmp(argv[1], "--completion") == 0) {
        status = sw_shell_completion_print(argc == 3 ? argv[2] : NULL);
    } else {
        struct sw_call call = {0};
        status = sw_stack_prepare();
        if (status == SW_OK)
            status = main_run(argc, argv, &call);
        sw_call_free_models(&call);
    }
    if (status == SW_OK)
        status = sw_output_flush();
    /* All ranks have the same command line: only rank 0 reports, before a rank's exit ends the job.
     */
    if (status == SW_EUSAGE && sw_transport_launch_rank() > 0) {
        sw_error_clear();
        sleep(1);
    }
    if (status != SW_OK && *sw_error_message())
        sw_log(SW_LOG_ERROR, "%s", sw_error_message());
    return sw_status_exit_code(status);
}
