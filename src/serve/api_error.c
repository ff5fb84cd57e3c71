/* Owns the form of errors. */
#include "serve/api_error.h"

#include "base/utf8.h"
#include "jobs/record.h"

#include <string.h>

/* The last row is for all others. */
static const struct {
    int status;
    const char *type, *code;
} rows[] = {
    {400, "invalid_request_error", NULL},
    {401, "authentication_error", "invalid_api_key"},
    {403, "permission_error", NULL},
    {404, "invalid_request_error", "not_found"},
    {405, "invalid_request_error", "method_not_allowed"},
    {413, "invalid_request_error", "request_too_large"},
    {415, "invalid_request_error", NULL},
    {429, "rate_limit_error", "queue_full"},
    {503, "server_error", "service_unavailable"},
    {504, "timeout_error", "request_timeout"},
    {0, "server_error", NULL},
};

void sw_api_error_write(int http_status, const char *message, const char *param,
                        struct sw_strbuf *out)
{
    struct sw_strbuf clean = {0};
    size_t i = 0;
    while (rows[i].status && rows[i].status != http_status)
        i++;
    sw_utf8_lossy(message, strlen(message), &clean);
    sw_strbuf_puts(out, "{\"error\":{\"message\":");
    sw_json_quote(out, clean.text ? clean.text : "", clean.length);
    sw_strbuf_printf(out, ",\"type\":\"%s\",\"param\":", rows[i].type);
    if (param)
        sw_json_quote(out, param, strlen(param));
    else
        sw_strbuf_puts(out, "null");
    sw_strbuf_puts(out, ",\"code\":");
    if (rows[i].code)
        sw_json_quote(out, rows[i].code, strlen(rows[i].code));
    else
        sw_strbuf_puts(out, "null");
    sw_strbuf_puts(out, "}}");
    out->failed = out->failed || clean.failed;
    sw_strbuf_free(&clean);
}

void sw_api_error_reply(struct sw_exchange *x, int http_status, const char *message,
                        const char *param)
{
    struct sw_strbuf body = {0};
    sw_api_error_write(http_status, message, param, &body);
    sw_exchange_reply(x, http_status, "application/json", &body);
}

int sw_api_error_status(enum sw_status status)
{
    return status == SW_EINPUT || status == SW_EUSAGE        ? 400
           : status == SW_EPEER || status == SW_EINTERRUPTED ? 503
                                                             : 500;
}
