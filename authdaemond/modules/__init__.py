"""The back ends of authdaemond, one file each."""
