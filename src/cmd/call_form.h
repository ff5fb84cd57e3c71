/* The form that --grammar, --json-schema or --json-object gives to answers. */
#ifndef SW_CMD_CALL_FORM_H
#define SW_CMD_CALL_FORM_H

#include "base/strbuf.h"
#include "cmd/options.h"

/*
 * Appends the grammar of the form, checked; nothing without one. SW_EUSAGE: more than one of the
 * options; SW_EINPUT names the file and the place in it.
 */
enum sw_status sw_call_form(const struct sw_options *o, struct sw_strbuf *out);

extern const struct sw_option sw_options_form[]; /* --grammar --json-schema --json-object */

#endif
