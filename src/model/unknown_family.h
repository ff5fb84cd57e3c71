/* What is said of a family that has no row. */
#ifndef SW_MODEL_UNKNOWN_FAMILY_H
#define SW_MODEL_UNKNOWN_FAMILY_H

#include "base/json.h"
#include "base/status.h"

/*
 * Fails with SW_EMODEL: the family is not known, which known one reads most of the keys of its
 * config.json, which keys that one would not read, and which families are known.
 */
enum sw_status sw_family_unknown(const json_t *root, const char *type);

#endif
