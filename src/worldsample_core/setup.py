from setuptools import find_packages, setup

package_name = "worldsample_core"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed", "node/fastdds.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "pillow", "pyyaml", "rosbags", "safetensors"],
    extras_require={"test": ["hypothesis", "pytest"]},  # colcon test then calls pytest
    zip_safe=False,
    maintainer="WorldSample maintainers",
    maintainer_email="worldsample@example.org",
    description="Shared words of WorldSample, free of ROS, and the only message conversions.",
    license="Apache-2.0",
)
