//! What can be traced: one file a provider.
