/* Cluster text and JSON: whatever is accepted can be written, and is accepted again. */
#include "plan/cluster.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_cluster a, b;
    if (sw_cluster_parse((const char *)data, size, &a) != SW_OK)
        return 0;
    for (int json = 0; json < 2; json++) {
        struct sw_strbuf text = {0};
        if (json)
            sw_cluster_to_json(&a, &text);
        else
            sw_cluster_to_text(&a, &text);
        if (sw_cluster_parse(text.text, text.length, &b) != SW_OK ||
            sw_cluster_n_ranks(&a) != sw_cluster_n_ranks(&b))
            abort();
        sw_cluster_free(&b);
        sw_strbuf_free(&text);
    }
    sw_cluster_free(&a);
    return 0;
}
