/*
 * Memory straight from the system that begins on a huge page, and is made of huge pages where the
 * system gives some. Large blocks need few entries of the TLB then, and disks are asked for more at
 * once: a read past the page cache into small pages is cut where these are not neighbours in
 * memory.
 */
#ifndef SW_BASE_HUGE_PAGES_H
#define SW_BASE_HUGE_PAGES_H

#include <stddef.h>

#define SW_HUGE_PAGE ((size_t)2 << 20)

/* Zeroed memory of `bytes` > 0 bytes; no page is taken before it is touched, and then a whole huge
 * page where it lies within the block. NULL: no memory. Why pages are small, where they are, is
 * logged once for each process. */
void *sw_huge_map(size_t bytes);
/* `block` may be NULL; `bytes` as for sw_huge_map. */
void sw_huge_unmap(void *block, size_t bytes);

#endif
