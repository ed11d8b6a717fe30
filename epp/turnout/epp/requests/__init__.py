"""The life of a request between the ext_proc session and the scheduler."""
