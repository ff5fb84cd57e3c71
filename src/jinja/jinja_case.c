/* Owns upper and lower case and the kinds of characters, as Python's str has them. */
#include "base/utf8.h"
#include "jinja/jinja_chars.h"

#include <utf8proc.h>

bool sw_char_is_space(uint32_t c)
{
    return sw_utf8_is_space(c) || (c >= 0x1c && c <= 0x1f);
}

bool sw_char_is_line_end(uint32_t c)
{
    return (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

bool sw_char_is_alpha(uint32_t c)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool sw_char_is_digit(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

bool sw_char_is_upper(uint32_t c)
{
    return utf8proc_isupper((utf8proc_int32_t)c);
}

bool sw_char_is_lower(uint32_t c)
{
    return utf8proc_islower((utf8proc_int32_t)c);
}

void sw_char_put(enum sw_char_case form, uint32_t c, struct sw_strbuf *out)
{
    char text[4];
    const utf8proc_int32_t u = (utf8proc_int32_t)c;
    if (c == 0xdf && form != SW_CASE_LOWER) { /* the only common letter that becomes two */
        sw_strbuf_puts(out, form == SW_CASE_UPPER ? "SS" : "Ss");
        return;
    }
    const utf8proc_int32_t changed = form == SW_CASE_UPPER   ? utf8proc_toupper(u)
                                     : form == SW_CASE_LOWER ? utf8proc_tolower(u)
                                                             : utf8proc_totitle(u);
    sw_strbuf_append(out, text, (size_t)sw_utf8_encode((uint32_t)changed, text));
}

void sw_text_put(enum sw_char_case form, const struct sw_value *v, struct sw_strbuf *out)
{
    int length;
    for (size_t at = 0; at < v->length; at += (size_t)length)
        sw_char_put(form, sw_utf8_decode(v->text + at, &length), out);
}
