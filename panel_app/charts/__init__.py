"""The charts of a device's page: what they show, where its marks stand, and the stack that holds them."""
