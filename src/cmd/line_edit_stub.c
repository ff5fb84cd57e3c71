/* Owns a build without libedit: the terminal's own editing is what there is. */
#include "cmd/line_edit.h"

#include <stddef.h>

struct sw_line_edit *sw_line_edit_open(const volatile sig_atomic_t *give_up)
{
    (void)give_up;
    return NULL;
}

enum sw_line sw_line_edit_read(struct sw_line_edit *edit, const char *prompt,
                               struct sw_strbuf *line)
{
    (void)edit;
    (void)prompt;
    (void)line;
    return SW_LINE_END;
}

void sw_line_edit_close(struct sw_line_edit *edit)
{
    (void)edit;
}
