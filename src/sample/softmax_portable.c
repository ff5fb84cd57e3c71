/* The loops over logits for any machine; the code is in the header. */
#define SOFTMAX_TABLE sw_softmax_portable
#include "sample/softmax_code.h"
