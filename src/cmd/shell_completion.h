/* Completion of the command line in a shell, from the tables of verbs and options. */
#ifndef SW_CMD_SHELL_COMPLETION_H
#define SW_CMD_SHELL_COMPLETION_H

#include "base/status.h"

/*
 * Prints on stdout what `shell` (bash, zsh or fish) reads to complete verbs, options, the words and
 * formats that options take, and files. SW_EUSAGE: another shell.
 */
enum sw_status sw_shell_completion_print(const char *shell);

#endif
