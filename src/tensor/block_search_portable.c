/* The search for scales for any machine; the code is in the header. */
#define SEARCH_TABLE block_search_portable
#define LANES 4
#include "tensor/block_search_code.h"
