"""The built-in plugins: one module or package for each feature, found through entry points as anyone's are."""
