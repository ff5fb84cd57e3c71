/*
 * OUT.job, beside the output OUT: which job the output belongs to (verb, input, model, options that
 * the answers depend on) and who writes it. A JSON object, replaced as a whole:
 *   {"verb": "batch", "input": {"path", "bytes", "digest"}, "model": {"name", "version",
 *    "digest", "hashes"}, "options": {"temperature": 0, …}, "writer": {"host", "pid", "since"}}
 */
#ifndef SW_JOBS_MANIFEST_H
#define SW_JOBS_MANIFEST_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

/* *claim is NULL when there is none; the caller frees it. SW_EINPUT: it cannot be understood. */
enum sw_status sw_manifest_read(const char *out, json_t **claim);
/* On disk for certain when it returns. */
enum sw_status sw_manifest_write(const char *out, const json_t *claim);
/*
 * SW_EINPUT when the output's claim differs from this job's, naming what: the verb, the model or
 * each option with both values. The input is compared by its digest; `begin` is the digest of as
 * many bytes of this job's input as the claim's had: a file that only grew is the same. The model
 * is compared as jobs/identity.h has it: by digest, and by the hub's hashes where both know them. A
 * claim without a version is compared with "former" of this job's model.
 */
enum sw_status sw_manifest_check(const char *out, const json_t *claim, const json_t *mine,
                                 const char *begin);
/* For a claim that checked (NULL: there is none): what is known of the model goes on being known,
 * and what was only for the comparison goes. */
void sw_manifest_carry(const json_t *claim, json_t *mine);
/* Whether the claim is one of the first version; NULL is none. */
bool sw_manifest_is_former(const json_t *claim);
/* {"host", "pid", "since"} of this process. */
json_t *sw_manifest_writer(void);
/* "process 123 on host h1, since 2026-01-01 12:00:00" */
void sw_manifest_describe_writer(const json_t *claim, char *out, size_t cap);

#endif
