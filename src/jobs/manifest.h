/*
 * OUT.job, the manifest next to the output OUT: which job the output belongs to (verb, input,
 * model, options that the answers depend on) and which process writes it. A JSON object that is
 * replaced as a whole:
 *   {"verb": "batch", "input": {"path", "bytes", "digest"}, "model": {"name", "version",
 *    "digest", "hashes"}, "options": {"temperature": 0, …}, "writer": {"host", "pid", "since"}}
 */
#ifndef SW_JOBS_MANIFEST_H
#define SW_JOBS_MANIFEST_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

/* *manifest: NULL when there is no file; the caller frees it. SW_EINPUT: it is not valid. */
enum sw_status sw_manifest_read(const char *out, json_t **manifest);
/* Replaces the manifest of `out`; it is on disk when SW_OK is returned. SW_EIO when it cannot be
 * written. */
enum sw_status sw_manifest_write(const char *out, const json_t *manifest);
/*
 * SW_EINPUT when the output's manifest differs from `mine`, this job's. The message names the verb,
 * the model, the input, or each option with both values. Inputs are compared by digest; `begin` is
 * the digest of as many bytes of this job's input as the manifest's input had, so that a file that
 * only grew is the same. Models are compared by digest, and by the hub's hashes where both have
 * them (jobs/identity.h). A manifest without a version is compared with the member "former" of this
 * job's model.
 */
enum sw_status sw_manifest_check(const char *out, const json_t *manifest, const json_t *mine,
                                 const char *begin);
/* What to do about an output of another job: "start over with --fresh, or …", as far as the verb of
 * `mine` has it. */
const char *sw_manifest_remedy(const json_t *mine);
/* After sw_manifest_check: copies to `mine` the hub's hashes that only `manifest` (may be NULL)
 * has, and removes from `mine` the member "former", which is only for the comparison. */
void sw_manifest_carry(const json_t *manifest, json_t *mine);
/* Whether the manifest is of version 1; false for NULL. */
bool sw_manifest_is_former(const json_t *manifest);
/* {"host", "pid", "since"} of this process; the caller frees it. */
json_t *sw_manifest_writer(void);
/* "process 123 on host h1, since 2026-01-01 12:00:00" */
void sw_manifest_describe_writer(const json_t *manifest, char *out, size_t cap);

#endif
