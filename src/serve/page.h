/* The page at /, made of page.html at build time (page.cmake). */
#ifndef SW_SERVE_PAGE_H
#define SW_SERVE_PAGE_H

#include <stddef.h>

extern const unsigned char sw_page[]; /* (sw_page_size) */
extern const size_t sw_page_size;
extern const char sw_page_policy[]; /* its Content-Security-Policy */

#endif
