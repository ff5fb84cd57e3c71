/* Functions that the filters of lists share (private to src/jinja). */
#ifndef SW_JINJA_JINJA_LISTS_H
#define SW_JINJA_JINJA_LISTS_H

#include "jinja/jinja_value.h"

struct sw_jinja_call;

/* Gives item.a.b for the path "a.b", the item itself for no path. */
enum sw_status sw_jinja_path(struct sw_jinja_run *r, const struct sw_value *item,
                             const struct sw_value *path, struct sw_value *out);
/* Gives a dict's (key, value) tuples as a list, view or generator (`kind`). */
enum sw_status sw_jinja_pairs(struct sw_jinja_run *r, const struct sw_value *dict,
                              enum sw_value_kind kind, struct sw_value *out);

/* jinja_sort.c */
typedef enum sw_status sw_list_fn(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out);
sw_list_fn sw_jinja_sort, sw_jinja_dictsort, sw_jinja_unique, sw_jinja_groupby, sw_jinja_min,
    sw_jinja_max;

#endif
