"""trl's trainers as the methods use them. The modules in here import torch and are imported only when a run starts."""
