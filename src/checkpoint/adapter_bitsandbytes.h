/* What of bitsandbytes' matrices lies beside their blocks. */
#ifndef SW_CHECKPOINT_ADAPTER_BITSANDBYTES_H
#define SW_CHECKPOINT_ADAPTER_BITSANDBYTES_H

#include "tensor/format.h"
#include "tensor/tensors.h"

/* The table of such a matrix's twin (sw_tensor.twin): what the bytes of its nested absmax stand
 * for. SW_EIO; SW_EMODEL: the file has changed. */
enum sw_status sw_nested_map(const struct sw_tensors *tensors, const struct sw_tensor *tensor,
                             float map[SW_TABLE_LEN]);

#endif
