/* base/trim.h - memory that only the start needed, given back. */
#ifndef FM_BASE_TRIM_H
#define FM_BASE_TRIM_H

/**
 * Gives back free heap, and unmaps the pages of program and libraries that were touched so far.
 *
 * Loading and relocating 40 libraries and setting up TLS touches megabytes that are never looked at
 * again; they would count as resident for ever. What is needed later is mapped again from the page
 * cache. Takes under a millisecond; call it when the work has become steady. Any thread.
 */
void fm_trim(void);

#endif
