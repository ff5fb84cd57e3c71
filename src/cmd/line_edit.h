/* Editing of a line on a terminal, with a history of the lines before: libedit, or nothing. */
#ifndef SW_CMD_LINE_EDIT_H
#define SW_CMD_LINE_EDIT_H

#include "base/strbuf.h"

#include <signal.h>

enum sw_line {
    SW_LINE_READ,
    SW_LINE_END,         /* no more lines: Ctrl-D on an empty one, or the end of a file */
    SW_LINE_INTERRUPTED, /* the line was given up */
    SW_LINE_FAILED       /* no memory, or a read error (errno) */
};

struct sw_line_edit;

/* NULL: the program was built without, or this is no terminal that it can edit on. `give_up` ends a
 * read when it is not 0. One thread calls the others; the caller frees by sw_line_edit_close. */
struct sw_line_edit *sw_line_edit_open(const volatile sig_atomic_t *give_up);
/* Reads a line without its newline into *line, which is emptied first. `prompt` in front of it. */
enum sw_line sw_line_edit_read(struct sw_line_edit *edit, const char *prompt,
                               struct sw_strbuf *line);
/* The terminal is as it was. NULL is fine. */
void sw_line_edit_close(struct sw_line_edit *edit);

#endif
