/* The weight formats by name, and bits of a weight in each, a line each: for static.sh. */
#include "tensor/format.h"

#include <stdio.h>

int main(void)
{
    for (int i = 0; i < SW_FORMAT_COUNT; i++) {
        const struct sw_format *format = sw_format_of((enum sw_format_id)i);
        printf("%s %.6g\n", format->name, 8.0 * format->block_bytes / format->block_len);
    }
    return 0;
}
