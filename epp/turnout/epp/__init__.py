"""The Endpoint Picker process: ext_proc server, data layer, gateway, admin and command line."""
