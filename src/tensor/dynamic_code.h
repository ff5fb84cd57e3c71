/* The bytes of the dynamic map (tensor/dynamic_map.h). */
#ifndef SW_TENSOR_DYNAMIC_CODE_H
#define SW_TENSOR_DYNAMIC_CODE_H

#include "tensor/dynamic_map.h"

#include <stdint.h>

#define SW_DYNAMIC_ZERO 127 /* the byte of 0 */

/* The byte of the nearest number of the map, the lower of two. share: no NaN */
static inline uint8_t sw_dynamic_code(float share)
{
    int low = 0, high = SW_DYNAMIC_MAP_LEN - 1;
    while (low + 1 < high) {
        const int middle = (low + high) / 2;
        if (sw_dynamic_map[middle] < share)
            low = middle;
        else
            high = middle;
    }
    return (uint8_t)(share - sw_dynamic_map[low] <= sw_dynamic_map[high] - share ? low : high);
}

#endif
