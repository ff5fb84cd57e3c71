/* Owns the one way from the form of an answer to its grammar. */
#include "grammar/answer_form.h"

#include "grammar/guide.h"
#include "grammar/json_schema.h"

enum sw_status sw_answer_form_grammar(const struct sw_answer_form *form, struct sw_strbuf *out)
{
    if (form->grammar)
        sw_strbuf_append(out, form->grammar, form->n_grammar);
    else if (form->schema)
        SW_TRY(sw_json_schema_grammar(form->schema, out));
    else
        SW_TRY(sw_json_object_grammar(out));
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for a grammar")
                       : sw_guide_check(out->text ? out->text : "", out->length);
}
