/* A library, but not one of ours. */
extern int sw_nothing;
int sw_nothing;
