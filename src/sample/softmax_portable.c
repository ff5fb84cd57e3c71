/* The loops over logits for any machine; the code is in the header. */
#define WEIGHTS_TABLE sw_weights_portable
#include "sample/softmax_code.h"
